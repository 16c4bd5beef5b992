!> Tracer of layer 1: advection (UBS), diffusion, restoring. The right-hand side is that of the content h T [degC m s-1].
module traadv
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, Nis0, Nie0, jp_tem
   use dom_oce, only: umask, vmask, r1_e1e2t, e2u, e1v, r1_e1u, r1_e2v
   use oce, only: ts, e3t, uflx, vflx
   use sbcmod, only: tstar, r1_trelax
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: tra_init, tra_adv, tra_ldf, tra_sbc

   logical, public :: ln_tra = .true.   !< carry the tracer
   real(wp) :: rn_aht = 400._wp         ! diffusivity [m2 s-1]

   real(wp), allocatable, dimension(:, :) :: zcx, zcy   ! curvature along i and j [degC]
   real(wp), allocatable, dimension(:, :) :: zfx, zfy   ! fluxes [degC m3 s-1]
   real(wp), allocatable, dimension(:, :) :: zax, zay   ! diffusivity times face width over distance, 0 on walls [m2 s-1]

contains

   !> Read &namtra.
   subroutine tra_init()
      namelist /namtra/ ln_tra, rn_aht
      integer :: ios
      do while (nam_next('namtra'))
         read (cnam, namtra, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (.not. rn_aht >= 0._wp) call ctl_stop('the diffusivity must not be negative.', nam_where('namtra', 'rn_aht'))
      allocate (zcx(jpi, jpj), zcy(jpi, jpj), zfx(jpi, jpj), zfy(jpi, jpj), zax(jpi, jpj), zay(jpi, jpj))
      zcx = 0._wp; zcy = 0._wp; zfx = 0._wp; zfy = 0._wp
      zax(:, :) = rn_aht*e2u*r1_e1u*umask(:, :, 1)
      zay(:, :) = rn_aht*e1v*r1_e2v*vmask(:, :, 1)
      if (lwp) write (numout, '(a,l1,a,es10.3)') ' tra_init: tracer ', ln_tra, ', diffusivity ', rn_aht
   end subroutine tra_init

   !> Begin the right-hand side with -div of the upstream-biased flux: U (T(i) + T(i+1))/2 of now, minus U/6 times the upstream
   !! curvature of before. Source: Shchepetkin & McWilliams (2005), third order; the lagged curvature is the dissipative part.
   subroutine tra_adv(Kbb, Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2         !< rows
      integer :: in0, in1
      in0 = jpi*(kj1 - 2)
      in1 = jpi*(kj2 + 1)
      call curvature(in0, in1, ts(:, :, 1, jp_tem, Kbb), umask(:, :, 1), vmask(:, :, 1), zcx, zcy)
      call ubs(in0, in1, ts(:, :, 1, jp_tem, Kmm), uflx(:, :, 1), vflx(:, :, 1), zcx, zcy, zfx, zfy)
      ts(:, kj1:kj2, 1, jp_tem, Krhs) = 0._wp
      call divergence(kj1, kj2, zfx, zfy, r1_e1e2t, ts(:, :, 1, jp_tem, Krhs))
   end subroutine tra_adv

   !> Add the divergence of h kappa grad T of before.
   subroutine tra_ldf(Kbb, Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels; thickness is that of now
      integer, intent(in) :: kj1, kj2         !< rows
      call diffusion(jpi*(kj1 - 2), jpi*(kj2 + 1), ts(:, :, 1, jp_tem, Kbb), e3t(:, :, 1, Kmm), zax, zay, zfx, zfy)
      call divergence(kj1, kj2, zfx, zfy, r1_e1e2t, ts(:, :, 1, jp_tem, Krhs))
   end subroutine tra_ldf

   !> Add the restoring h (T* - T)/tau of before.
   subroutine tra_sbc(Kbb, Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2         !< rows
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            ts(ji, jj, 1, jp_tem, Krhs) = ts(ji, jj, 1, jp_tem, Krhs) &
            &  + e3t(ji, jj, 1, Kmm)*(r1_trelax*(tstar(ji, jj) - ts(ji, jj, 1, jp_tem, Kbb)))
         end do
      end do
   end subroutine tra_sbc

   ! Points k0+1 to k1 of whole rows, one after the other, from one row south to one row north of the row range.

   pure subroutine curvature(k0, k1, pt, pum, pvm, pcx, pcy)
      integer, intent(in) :: k0, k1
      real(wp), intent(in), dimension(jpi*jpj) :: pt, pum, pvm
      real(wp), intent(inout), dimension(k0 + 1:k1) :: pcx, pcy
      integer :: jn
      do jn = k0 + 1, k1
         pcx(jn) = (pt(jn + 1) - pt(jn))*pum(jn) - (pt(jn) - pt(jn - 1))*pum(jn - 1)
         pcy(jn) = (pt(jn + jpi) - pt(jn))*pvm(jn) - (pt(jn) - pt(jn - jpi))*pvm(jn - jpi)
      end do
   end subroutine curvature

   pure subroutine ubs(k0, k1, pt, puf, pvf, pcx, pcy, pfx, pfy)
      integer, intent(in) :: k0, k1
      real(wp), intent(in), dimension(jpi*jpj) :: pt, puf, pvf
      real(wp), intent(in), dimension(k0 + 1:k1) :: pcx, pcy
      real(wp), intent(inout), dimension(k0 + 1:k1) :: pfx, pfy
      real(wp), parameter :: r1_12 = 1._wp/12._wp
      integer :: jn
      do jn = k0 + 1, k1 - jpi
         pfx(jn) = 0.5_wp*puf(jn)*(pt(jn) + pt(jn + 1)) &
         &  - r1_12*((puf(jn) + abs(puf(jn)))*pcx(jn) + (puf(jn) - abs(puf(jn)))*pcx(jn + 1))
         pfy(jn) = 0.5_wp*pvf(jn)*(pt(jn) + pt(jn + jpi)) &
         &  - r1_12*((pvf(jn) + abs(pvf(jn)))*pcy(jn) + (pvf(jn) - abs(pvf(jn)))*pcy(jn + jpi))
      end do
   end subroutine ubs

   pure subroutine diffusion(k0, k1, pt, pe3t, pax, pay, pfx, pfy)
      integer, intent(in) :: k0, k1
      real(wp), intent(in), dimension(jpi*jpj) :: pt, pe3t, pax, pay
      real(wp), intent(inout), dimension(k0 + 1:k1) :: pfx, pfy
      integer :: jn
      do jn = k0 + 1, k1 - jpi
         pfx(jn) = -pax(jn)*(0.5_wp*(pe3t(jn) + pe3t(jn + 1)))*(pt(jn + 1) - pt(jn))
         pfy(jn) = -pay(jn)*(0.5_wp*(pe3t(jn) + pe3t(jn + jpi)))*(pt(jn + jpi) - pt(jn))
      end do
   end subroutine diffusion

   pure subroutine divergence(kj1, kj2, pfx, pfy, pr1, prhs)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, kj1 - 1:kj2 + 1) :: pfx, pfy
      real(wp), intent(in), dimension(jpi, jpj) :: pr1
      real(wp), intent(inout), dimension(jpi, jpj) :: prhs
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            prhs(ji, jj) = prhs(ji, jj) - pr1(ji, jj)*((pfx(ji, jj) - pfx(ji - 1, jj)) + (pfy(ji, jj) - pfy(ji, jj - 1)))
         end do
      end do
   end subroutine divergence
end module traadv
