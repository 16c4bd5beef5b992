!> Lateral friction: biharmonic, stress form, with a Smagorinsky, Leith or constant coefficient (or their sum).
module dynldf
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0
   use dom_oce, only: rn_Dt, fmask, tmask, umask, vmask, e1t2, e2t2, e1f2, e2f2, e1_e2t, e2_e1t, e1_e2f, e2_e1f, &
   &  e1u, e2v, r1_e1u, r1_e2u, r1_e1v, r1_e2v, r1_e1e2u, r1_e1e2v, r1_e1e2f
   use oce, only: uu, vv, e3t, e3f
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: dyn_ldf, dyn_ldf_init

   logical :: ln_dynldf = .true.         ! friction on
   real(wp) :: rn_cs4 = 0.02_wp          ! Smagorinsky: A4 = cs4 dx**4 |D|
   real(wp) :: rn_cl4 = 0._wp            ! Leith: A4 = cl4 dx**5 |grad zeta|
   real(wp) :: rn_ahm4 = 0._wp           ! constant part of A4 [m4 s-1]
   real(wp) :: rn_ahmcap = 0.8_wp        ! A4 <= cap dx**4 / (128 dt)

   ! Metrics and masks of the two operators as one factor per neighbour, see metrics(): half the loads. All layers have one coast.
   real(wp), allocatable, dimension(:, :, :) :: cdt, cds     ! deformation from velocity (i, j, factor)
   real(wp), allocatable, dimension(:, :, :) :: cdu, cdv     ! divergence of a stress (i, j, factor)
   real(wp), allocatable, dimension(:, :) :: zat, zaf        ! what is added to cs4 |D| to make A4 / dx**4 [s-1]
   real(wp), allocatable, dimension(:, :) :: e1e2t_2, e1e2f_2   ! dx**4 at T and F points [m4]

   ! Work arrays. A band of rows begins in their first row, wherever it lies, so that they stay in the cache:
   real(wp), allocatable, dimension(:, :) :: zdt, zds        ! stretching (T) and shear (F) of the velocity [s-1]
   real(wp), allocatable, dimension(:, :) :: zlu, zlv        ! Laplacian of the velocity [m-1 s-1]
   real(wp), allocatable, dimension(:, :) :: zst, zsf        ! h A4 D(lap u) at T and F points
   real(wp), allocatable, dimension(:, :) :: zvor            ! vorticity at F points [s-1]

contains

   !> Read &namdyn_ldf.
   subroutine dyn_ldf_init()
      namelist /namdyn_ldf/ ln_dynldf, rn_cs4, rn_cl4, rn_ahm4, rn_ahmcap
      integer :: ios
      do while (nam_next('namdyn_ldf'))
         read (cnam, namdyn_ldf, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (.not. min(rn_cs4, rn_cl4, rn_ahm4) >= 0._wp) call ctl_stop('friction coefficients must not be negative.', &
      &  nam_where('namdyn_ldf', 'rn_cs4')//', rn_cl4, rn_ahm4')
      if (.not. rn_ahmcap > 0._wp) call ctl_stop('the cap of the friction coefficient must be positive.', &
      &  nam_where('namdyn_ldf', 'rn_ahmcap'))
      allocate (zdt(jpi, jpj), zds(jpi, jpj), zlu(jpi, jpj), zlv(jpi, jpj), zst(jpi, jpj), zsf(jpi, jpj), zvor(jpi, jpj))
      allocate (zat(jpi, jpj), zaf(jpi, jpj), e1e2t_2(jpi, jpj), e1e2f_2(jpi, jpj))
      zdt = 0._wp; zds = 0._wp; zlu = 0._wp; zlv = 0._wp; zst = 0._wp; zsf = 0._wp; zvor = 0._wp
      e1e2t_2(:, :) = e1t2*e2t2
      e1e2f_2(:, :) = e1f2*e2f2
      zat(:, :) = rn_ahm4/e1e2t_2
      zaf(:, :) = rn_ahm4/e1e2f_2
      call metrics()
      if (lwp) write (numout, '(a,l1,3(a,es10.3))') ' dyn_ldf: on ', ln_dynldf, ', cs4 = ', rn_cs4, ', cl4 = ', rn_cl4, &
      &  ', constant A4 = ', rn_ahm4
   end subroutine dyn_ldf_init

   !> Add the friction of the before velocity, -(1/h) div( h A4 D(lap u) ), with lap u = div D(u), D the deformation (Dt, Ds):
   !!
   !! Dt = e2t/e1t d_i(u/e2u) - e1t/e2t d_j(v/e1v), Ds = e1f/e2f d_j(u/e1u) + e2f/e1f d_i(v/e2v); the wall enters by fmask.
   !! A4 = cs4 dx**4 |D| + cl4 dx**5 |grad zeta| + constant, capped. Source of the form: Griffies & Hallberg (2000).
   subroutine dyn_ldf(Kbb, Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels; thickness is that of now
      integer, intent(in) :: kj1, kj2         !< rows
      integer :: jk, j1, j2
      real(wp) :: zcap
      if (.not. ln_dynldf) return
      zcap = rn_ahmcap/(128._wp*rn_Dt)
      j1 = kj1 - 2
      j2 = kj2 + 2
      do jk = 1, jpk
         if (rn_cl4 > 0._wp) call leith(j2 - j1 + 1, uu(:, j1:j2, jk, Kbb), vv(:, j1:j2, jk, Kbb), e1u(:, j1:j2), e2v(:, j1:j2), &
         &  r1_e1e2f(:, j1:j2), fmask(:, j1:j2, jk), e1e2t_2(:, j1:j2), zvor, zat(:, j1:j2), zaf(:, j1:j2))
         call deform(jpi*(j1 - 1), jpi*j2, uu(:, :, jk, Kbb), vv(:, :, jk, Kbb), cdt, cds, zdt, zds)
         call laplace(jpi*(j1 - 1), jpi*j2, zdt, zds, cdu, cdv, zlu, zlv)
         call stress(jpi*(j1 - 1), jpi*j2, zlu, zlv, zdt, zds, cdt, cds, zat, zaf, e1e2t_2, e1e2f_2, zcap, e3t(:, :, jk, Kmm), &
         &           e3f(:, :, jk), zst, zsf)
         call friction(kj1, kj2, zst, zsf, cdu, cdv, e3t(:, :, jk, Kmm), uu(:, :, jk, Krhs), vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_ldf

   !> The factors c1 to c4 of
   !!    Dt(i,j) = cdt: c1 u(i,j) - c2 u(i-1,j) - (c3 v(i,j) - c4 v(i,j-1))
   !!    Ds(i,j) = cds: c1 u(i,j+1) - c2 u(i,j) + (c3 v(i+1,j) - c4 v(i,j))
   !! and of the divergence of a stress with the components S at T points and F at F points
   !!    along i = cdu: c1 S(i+1,j) - c2 S(i,j) + (c3 F(i,j) - c4 F(i,j-1))
   !!    along j = cdv: c1 F(i,j) - c2 F(i-1,j) - (c3 S(i,j+1) - c4 S(i,j))
   subroutine metrics()
      integer :: ji, jj
      allocate (cdt(jpi, jpj, 4), cds(jpi, jpj, 4), cdu(jpi, jpj, 4), cdv(jpi, jpj, 4))
      cdt = 0._wp; cds = 0._wp; cdu = 0._wp; cdv = 0._wp
      do jj = 2, jpj
         do ji = 2, jpi
            cdt(ji, jj, 1:2) = tmask(ji, jj, 1)*e2_e1t(ji, jj)*r1_e2u(ji:ji - 1:-1, jj)
            cdt(ji, jj, 3:4) = tmask(ji, jj, 1)*e1_e2t(ji, jj)*r1_e1v(ji, jj:jj - 1:-1)
         end do
      end do
      do jj = 1, jpj - 1
         do ji = 1, jpi - 1
            cds(ji, jj, 1:2) = fmask(ji, jj, 1)*e1_e2f(ji, jj)*r1_e1u(ji, jj + 1:jj:-1)
            cds(ji, jj, 3:4) = fmask(ji, jj, 1)*e2_e1f(ji, jj)*r1_e2v(ji + 1:ji:-1, jj)
         end do
      end do
      do jj = 2, jpj - 1
         do ji = 2, jpi - 1
            cdu(ji, jj, 1:2) = umask(ji, jj, 1)*r1_e1e2u(ji, jj)*r1_e2u(ji, jj)*e2t2(ji + 1:ji:-1, jj)
            cdu(ji, jj, 3:4) = umask(ji, jj, 1)*r1_e1e2u(ji, jj)*r1_e1u(ji, jj)*e1f2(ji, jj:jj - 1:-1)
            cdv(ji, jj, 1:2) = vmask(ji, jj, 1)*r1_e1e2v(ji, jj)*r1_e2v(ji, jj)*e2f2(ji:ji - 1:-1, jj)
            cdv(ji, jj, 3:4) = vmask(ji, jj, 1)*r1_e1e2v(ji, jj)*r1_e1v(ji, jj)*e1t2(ji, jj + 1:jj:-1)
         end do
      end do
   end subroutine metrics

   ! The three kernels below run over the points k0+1 to k1 of whole rows, one after the other: jn+1 is the point to the east,
   ! jn+jpi that to the north. One long loop has no ends to treat at every row: a step of
   ! 48 x 48 x 2 in 32 bit takes 10 % less time. The other terms do the same. What the kernels compute in the first and last
   ! columns is finite and is not used.

   !> Stretching of all rows but the first, shear of all but the last.
   pure subroutine deform(k0, k1, pu, pv, pct, pcs, pdt, pds)
      integer, intent(in) :: k0, k1   ! points before the first row, points up to the last one
      real(wp), intent(in), dimension(jpi*jpj) :: pu, pv
      real(wp), intent(in), dimension(jpi*jpj, 4) :: pct, pcs
      real(wp), intent(inout), dimension(k0 + 1:k1) :: pdt, pds
      integer :: jn, jr
      do jn = k0 + 1, k1 - jpi
         pds(jn) = (pcs(jn, 1)*pu(jn + jpi) - pcs(jn, 2)*pu(jn)) + (pcs(jn, 3)*pv(jn + 1) - pcs(jn, 4)*pv(jn))
         jr = jn + jpi
         pdt(jr) = (pct(jr, 1)*pu(jr) - pct(jr, 2)*pu(jr - 1)) - (pct(jr, 3)*pv(jr) - pct(jr, 4)*pv(jr - jpi))
      end do
   end subroutine deform

   pure subroutine laplace(k0, k1, pdt, pds, pcu, pcv, plu, plv)
      integer, intent(in) :: k0, k1
      real(wp), intent(in), dimension(k0 + 1:k1) :: pdt, pds
      real(wp), intent(in), dimension(jpi*jpj, 4) :: pcu, pcv
      real(wp), intent(inout), dimension(k0 + 1:k1) :: plu, plv
      integer :: jn
      do jn = k0 + jpi + 1, k1 - jpi
         plu(jn) = (pcu(jn, 1)*pdt(jn + 1) - pcu(jn, 2)*pdt(jn)) + (pcu(jn, 3)*pds(jn) - pcu(jn, 4)*pds(jn - jpi))
         plv(jn) = (pcv(jn, 1)*pds(jn) - pcv(jn, 2)*pds(jn - 1)) - (pcv(jn, 3)*pdt(jn + jpi) - pcv(jn, 4)*pdt(jn))
      end do
   end subroutine laplace

   !> Deformation of the Laplacian, times h A4. |D| = sqrt(Dt**2 + Ds**2), squares averaged to the other point.
   pure subroutine stress(k0, k1, pu, pv, pdt, pds, pct, pcs, pat, paf, pe4t, pe4f, pcap, pe3t, pe3f, pst, psf)
      integer, intent(in) :: k0, k1
      real(wp), intent(in), dimension(k0 + 1:k1) :: pu, pv, pdt, pds
      real(wp), intent(in), dimension(jpi*jpj, 4) :: pct, pcs
      real(wp), intent(in), dimension(jpi*jpj) :: pat, paf, pe4t, pe4f, pe3t, pe3f
      real(wp), intent(in) :: pcap
      real(wp), intent(inout), dimension(k0 + 1:k1) :: pst, psf
      real(wp) :: zd
      integer :: jn
      do jn = k0 + 2*jpi + 1, k1 - jpi
         zd = sqrt(pdt(jn)*pdt(jn) + 0.25_wp*((pds(jn)*pds(jn) + pds(jn - 1)*pds(jn - 1)) &
         &                                  + (pds(jn - jpi)*pds(jn - jpi) + pds(jn - jpi - 1)*pds(jn - jpi - 1))))
         pst(jn) = ((pct(jn, 1)*pu(jn) - pct(jn, 2)*pu(jn - 1)) - (pct(jn, 3)*pv(jn) - pct(jn, 4)*pv(jn - jpi))) &
         &         *(pe3t(jn)*(pe4t(jn)*min(rn_cs4*zd + pat(jn), pcap)))
      end do
      do jn = k0 + jpi + 1, k1 - 2*jpi
         zd = sqrt(pds(jn)*pds(jn) + 0.25_wp*((pdt(jn)*pdt(jn) + pdt(jn + 1)*pdt(jn + 1)) &
         &                                  + (pdt(jn + jpi)*pdt(jn + jpi) + pdt(jn + jpi + 1)*pdt(jn + jpi + 1))))
         psf(jn) = ((pcs(jn, 1)*pu(jn + jpi) - pcs(jn, 2)*pu(jn)) + (pcs(jn, 3)*pv(jn + 1) - pcs(jn, 4)*pv(jn))) &
         &         *(pe3f(jn)*(pe4f(jn)*min(rn_cs4*zd + paf(jn), pcap)))
      end do
   end subroutine stress

   pure subroutine friction(kj1, kj2, pst, psf, pcu, pcv, pe3t, pru, prv)
      integer, intent(in) :: kj1, kj2   ! rows
      real(wp), intent(in), dimension(jpi, kj1 - 2:kj2 + 2) :: pst, psf
      real(wp), intent(in), dimension(jpi, jpj) :: pe3t
      real(wp), intent(in), dimension(jpi, jpj, 4) :: pcu, pcv
      real(wp), intent(inout), dimension(jpi, jpj) :: pru, prv
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            pru(ji, jj) = pru(ji, jj) - (1._wp/(0.5_wp*(pe3t(ji, jj) + pe3t(ji + 1, jj)))) &
            &             *((pcu(ji, jj, 1)*pst(ji + 1, jj) - pcu(ji, jj, 2)*pst(ji, jj)) &
            &           + (pcu(ji, jj, 3)*psf(ji, jj) - pcu(ji, jj, 4)*psf(ji, jj - 1)))
            prv(ji, jj) = prv(ji, jj) - (1._wp/(0.5_wp*(pe3t(ji, jj) + pe3t(ji, jj + 1)))) &
            &             *((pcv(ji, jj, 1)*psf(ji, jj) - pcv(ji, jj, 2)*psf(ji - 1, jj)) &
            &           - (pcv(ji, jj, 3)*pst(ji, jj + 1) - pcv(ji, jj, 4)*pst(ji, jj)))
         end do
      end do
   end subroutine friction

   !> Set zat and zaf to cl4 dx |grad zeta| + A4/dx**4. The gradient is taken on the faces, its square averaged to T and F points.
   pure subroutine leith(kj, pu, pv, pe1u, pe2v, pr1f, pfm, pe4t, pvor, pat, paf)
      integer, intent(in) :: kj   ! rows
      real(wp), intent(in), dimension(jpi, kj) :: pu, pv, pe1u, pe2v, pr1f, pfm, pe4t
      real(wp), intent(inout), dimension(jpi, kj) :: pvor, pat, paf
      real(wp) :: zgu, zgv
      integer :: ji, jj
      do jj = 1, kj - 1
         do ji = 1, jpi - 1
            pvor(ji, jj) = ((pe2v(ji + 1, jj)*pv(ji + 1, jj) - pe2v(ji, jj)*pv(ji, jj)) &
            &             - (pe1u(ji, jj + 1)*pu(ji, jj + 1) - pe1u(ji, jj)*pu(ji, jj)))*pr1f(ji, jj)*pfm(ji, jj)
         end do
      end do
      do jj = 2, kj - 1
         do ji = 2, jpi - 1
            zgu = (pvor(ji, jj) - pvor(ji, jj - 1))**2 + (pvor(ji - 1, jj) - pvor(ji - 1, jj - 1))**2
            zgv = (pvor(ji, jj) - pvor(ji - 1, jj))**2 + (pvor(ji, jj - 1) - pvor(ji - 1, jj - 1))**2
            pat(ji, jj) = rn_cl4*sqrt(0.5_wp*(zgu + zgv)) + rn_ahm4/pe4t(ji, jj)
         end do
      end do
      do jj = 2, kj - 2
         do ji = 2, jpi - 2
            paf(ji, jj) = 0.25_wp*((pat(ji, jj) + pat(ji + 1, jj)) + (pat(ji, jj + 1) + pat(ji + 1, jj + 1)))
         end do
      end do
   end subroutine leith
end module dynldf
