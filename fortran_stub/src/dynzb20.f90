!> Momentum closure of Zanna & Bolton (2020).
module dynzb20
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: fmask, tmask, umask, vmask, e1t2, e2t2, e1f2, e2f2, e1_e2t, e2_e1t, e1_e2f, e2_e1f, e1u, e2v, &
   &  r1_e1u, r1_e2u, r1_e1v, r1_e2v, r1_e1e2u, r1_e1e2v, r1_e1e2f
   use oce, only: uu, vv, e3t, e3f
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: dyn_zb20, dyn_zb20_faces, dyn_zb20_init

   logical, public :: ln_zb20 = .false.      !< closure on
   logical, public :: ln_zb20_fb = .false.   !< closure on where the coupler asks for it, see dyn_cpl
   real(wp) :: rn_zb_kappa = 0._wp           ! coefficient [m2]: gamma times the cell area; -kappa_BC of the paper

   real(wp), allocatable, dimension(:, :) :: zvor, zds, zdt   ! vorticity and shear (F), stretching (T) [s-1]
   real(wp), allocatable, dimension(:, :) :: zp, zq, zr       ! h zeta Ds (T), h (zeta**2 + Ds**2 + Dt**2)/2 (T), h zeta Dt (F)

contains

   !> Read &namzb20.
   subroutine dyn_zb20_init()
      namelist /namzb20/ ln_zb20, ln_zb20_fb, rn_zb_kappa
      integer :: ios
      do while (nam_next('namzb20'))
         read (cnam, namzb20, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (.not. rn_zb_kappa >= 0._wp) call ctl_stop('the coefficient must not be negative: it is minus the published kappa_BC.', &
      &  nam_where('namzb20', 'rn_zb_kappa'), 'Give gamma times the cell area in m2, gamma between 0 and about 2.5.')
      if (ln_zb20 .and. ln_zb20_fb) call ctl_stop('the closure is on everywhere (ln_zb20) and only where '// &
      &  'the coupler says so (ln_zb20_fb).', nam_where('namzb20', 'ln_zb20_fb'), 'Set one of them to .false.')
      if (lwp .and. ln_zb20) write (numout, '(a,es12.5,a)') ' dyn_zb20: kappa = ', rn_zb_kappa, ' m2'
      if (lwp .and. ln_zb20_fb) write (numout, '(a,es12.5,a)') ' dyn_zb20: where the coupler says so, kappa = ', rn_zb_kappa, ' m2'
      if (.not. (ln_zb20 .or. ln_zb20_fb)) return
      allocate (zvor(jpi, jpj), zds(jpi, jpj), zdt(jpi, jpj), zp(jpi, jpj), zq(jpi, jpj), zr(jpi, jpj))
      zvor = 0._wp; zds = 0._wp; zdt = 0._wp; zp = 0._wp; zq = 0._wp; zr = 0._wp
   end subroutine dyn_zb20_init

   !> Add (1/h) div(h T) of the now level, with the stress
   !!    T = -kappa [[-zeta Ds, zeta Dt], [zeta Dt, zeta Ds]] - kappa/2 (zeta**2 + Ds**2 + Dt**2) I,
   !! zeta = v_x - u_y, Ds = u_y + v_x, Dt = u_x - v_y. Products are formed at corners, then averaged to T points.
   !! Source: Zanna & Bolton (2020), eq. 6; form as in MOM6.
   subroutine dyn_zb20(Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kmm, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2    !< rows
      integer :: jk
      if (.not. ln_zb20) return
      do jk = 1, jpk
         call gradients(kj1, kj2, uu(:, :, jk, Kmm), vv(:, :, jk, Kmm), fmask(:, :, jk), tmask(:, :, jk))
         call products(kj1, kj2, e3t(:, :, jk, Kmm), e3f(:, :, jk), tmask(:, :, jk))
         call divergence(kj1, kj2, e3t(:, :, jk, Kmm), umask(:, :, jk), vmask(:, :, jk), uu(:, :, jk, Krhs), &
         &               vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_zb20

   !> Add the same to the faces that are marked, and leave the others alone to the bit.
   subroutine dyn_zb20_faces(Kmm, Krhs, ldu, ldv)
      integer, intent(in) :: Kmm, Krhs                               !< time levels; the halos of Kmm are valid
      logical, intent(in), dimension(jpi, jpj, jpk) :: ldu, ldv      !< marks at U and V points
      real(wp), dimension(jpi, jpj) :: zu, zv
      integer :: jk
      do jk = 1, jpk
         if (.not. (any(ldu(:, :, jk)) .or. any(ldv(:, :, jk)))) cycle
         call gradients(Njs0, Nje0, uu(:, :, jk, Kmm), vv(:, :, jk, Kmm), fmask(:, :, jk), tmask(:, :, jk))
         call products(Njs0, Nje0, e3t(:, :, jk, Kmm), e3f(:, :, jk), tmask(:, :, jk))
         zu(:, :) = -0._wp   ! -0 + x is x, bit for bit
         zv(:, :) = -0._wp
         call divergence(Njs0, Nje0, e3t(:, :, jk, Kmm), umask(:, :, jk), vmask(:, :, jk), zu, zv)
         where (ldu(:, :, jk)) uu(:, :, jk, Krhs) = uu(:, :, jk, Krhs) + zu
         where (ldv(:, :, jk)) vv(:, :, jk, Krhs) = vv(:, :, jk, Krhs) + zv
      end do
   end subroutine dyn_zb20_faces

   subroutine gradients(kj1, kj2, pu, pv, pfm, ptm)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, jpj) :: pu, pv, pfm, ptm
      integer :: ji, jj
      do jj = kj1 - 1, kj2 + 1
         do ji = 1, jpi - 1
            zvor(ji, jj) = ((e2v(ji + 1, jj)*pv(ji + 1, jj) - e2v(ji, jj)*pv(ji, jj)) &
            &             - (e1u(ji, jj + 1)*pu(ji, jj + 1) - e1u(ji, jj)*pu(ji, jj)))*r1_e1e2f(ji, jj)*pfm(ji, jj)
            zds(ji, jj) = (e1_e2f(ji, jj)*(pu(ji, jj + 1)*r1_e1u(ji, jj + 1) - pu(ji, jj)*r1_e1u(ji, jj)) &
            &            + e2_e1f(ji, jj)*(pv(ji + 1, jj)*r1_e2v(ji + 1, jj) - pv(ji, jj)*r1_e2v(ji, jj)))*pfm(ji, jj)
         end do
      end do
      do jj = kj1 - 1, kj2 + 1
         do ji = 2, jpi
            zdt(ji, jj) = (e2_e1t(ji, jj)*(pu(ji, jj)*r1_e2u(ji, jj) - pu(ji - 1, jj)*r1_e2u(ji - 1, jj)) &
            &            - e1_e2t(ji, jj)*(pv(ji, jj)*r1_e1v(ji, jj) - pv(ji, jj - 1)*r1_e1v(ji, jj - 1)))*ptm(ji, jj)
         end do
      end do
   end subroutine gradients

   subroutine products(kj1, kj2, pe3t, pe3f, ptm)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, jpj) :: pe3t, pe3f, ptm
      real(wp) :: zht
      integer :: ji, jj
      do jj = kj1, kj2 + 1
         do ji = Nis0, Nie0 + 1
            zht = pe3t(ji, jj)*ptm(ji, jj)
            zp(ji, jj) = zht*(0.25_wp*((zvor(ji, jj)*zds(ji, jj) + zvor(ji - 1, jj)*zds(ji - 1, jj)) &
            &                        + (zvor(ji, jj - 1)*zds(ji, jj - 1) + zvor(ji - 1, jj - 1)*zds(ji - 1, jj - 1))))
            zq(ji, jj) = zht*(0.5_wp*(0.25_wp*((zvor(ji, jj)*zvor(ji, jj) + zvor(ji - 1, jj)*zvor(ji - 1, jj)) &
            &                        + (zvor(ji, jj - 1)*zvor(ji, jj - 1) + zvor(ji - 1, jj - 1)*zvor(ji - 1, jj - 1))) &
            &               + 0.25_wp*((zds(ji, jj)*zds(ji, jj) + zds(ji - 1, jj)*zds(ji - 1, jj)) &
            &                        + (zds(ji, jj - 1)*zds(ji, jj - 1) + zds(ji - 1, jj - 1)*zds(ji - 1, jj - 1))) &
            &               + zdt(ji, jj)*zdt(ji, jj)))
         end do
      end do
      do jj = kj1 - 1, kj2
         do ji = Nis0 - 1, Nie0
            zr(ji, jj) = pe3f(ji, jj)*(zvor(ji, jj)*(0.25_wp*((zdt(ji, jj) + zdt(ji + 1, jj)) &
            &                                              + (zdt(ji, jj + 1) + zdt(ji + 1, jj + 1)))))
         end do
      end do
   end subroutine products

   subroutine divergence(kj1, kj2, pe3t, pum, pvm, pru, prv)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, jpj) :: pe3t, pum, pvm
      real(wp), intent(inout), dimension(jpi, jpj) :: pru, prv
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            pru(ji, jj) = pru(ji, jj) + rn_zb_kappa*pum(ji, jj)*(1._wp/(0.5_wp*(pe3t(ji, jj) + pe3t(ji + 1, jj)))) &
            &  *(((e2t2(ji + 1, jj)*zp(ji + 1, jj) - e2t2(ji, jj)*zp(ji, jj))*r1_e2u(ji, jj) &
            &   - (e1f2(ji, jj)*zr(ji, jj) - e1f2(ji, jj - 1)*zr(ji, jj - 1))*r1_e1u(ji, jj))*r1_e1e2u(ji, jj) &
            &   - (zq(ji + 1, jj) - zq(ji, jj))*r1_e1u(ji, jj))
            prv(ji, jj) = prv(ji, jj) + rn_zb_kappa*pvm(ji, jj)*(1._wp/(0.5_wp*(pe3t(ji, jj) + pe3t(ji, jj + 1)))) &
            &  *((-(e1t2(ji, jj + 1)*zp(ji, jj + 1) - e1t2(ji, jj)*zp(ji, jj))*r1_e1v(ji, jj) &
            &   - (e2f2(ji, jj)*zr(ji, jj) - e2f2(ji - 1, jj)*zr(ji - 1, jj))*r1_e2v(ji, jj))*r1_e1e2v(ji, jj) &
            &   - (zq(ji, jj + 1) - zq(ji, jj))*r1_e2v(ji, jj))
         end do
      end do
   end subroutine divergence
end module dynzb20
